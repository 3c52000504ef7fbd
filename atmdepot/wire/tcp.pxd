# An empty .pxd: the module is compiled unchanged, without C types.
