"""What has to hold for a document to count."""
