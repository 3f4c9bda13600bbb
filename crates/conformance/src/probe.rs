//! The probe program that the suite runs inside containers.
