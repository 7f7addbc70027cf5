"""What whoever runs the warehouse asks of it: service levels, incidents, plans, who reads what."""
