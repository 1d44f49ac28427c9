"""The third paper's metrics of environments: what each way of transfer earns over training from scratch."""
