"""What lets any number of workers die at any time: leases, journals, notes of attempts."""
