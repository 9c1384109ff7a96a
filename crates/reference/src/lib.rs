//! longshore-reference
