# Compiled as it stands; nothing in it needs C types.
