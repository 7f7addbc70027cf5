"""What whoever runs the warehouse asks of it: plans of reports, who reads what, drills."""
