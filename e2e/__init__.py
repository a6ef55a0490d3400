"""What the end-to-end and integration tests stand on."""
