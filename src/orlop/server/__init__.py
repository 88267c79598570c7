"""What a server of a database shows to others."""
