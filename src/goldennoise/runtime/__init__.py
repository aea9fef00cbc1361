"""The machine: devices, processes, memory, progress, random numbers, components by name."""
