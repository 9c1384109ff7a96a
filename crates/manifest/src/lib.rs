//! longshore-manifest
