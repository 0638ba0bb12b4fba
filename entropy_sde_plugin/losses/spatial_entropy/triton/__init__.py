"""The spatial entropy on CUDA devices, in three fused Triton kernels."""
