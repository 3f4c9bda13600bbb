//! Straddle on EKS and any other Kubernetes.
