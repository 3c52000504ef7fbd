"""`atmdepot bench failover`: how long a service is away when its depot fails, and which sessions go on."""
