"""What an ATM node does with cells, without sockets or clock."""
