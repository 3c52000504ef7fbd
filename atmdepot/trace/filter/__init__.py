"""The filter language of `atmdepot trace`."""
