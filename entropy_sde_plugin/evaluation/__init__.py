"""What results are measured against and how they are shown."""
