//! Straddle on Amazon ECS.
