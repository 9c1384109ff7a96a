//! longshore-puller
