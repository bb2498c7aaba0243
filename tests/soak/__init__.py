"""Hours of live cameras that come and go, and whether anything grows that should not."""
