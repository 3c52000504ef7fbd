"""The edges of the program: devices, sockets and processes, under trio."""
