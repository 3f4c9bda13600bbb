//! Straddle on a Docker engine.
