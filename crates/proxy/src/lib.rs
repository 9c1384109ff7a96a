//! longshore-proxy
