//! longshore-store
