"""Results from elsewhere as a run folder: read by the program that wrote them, told apart, written as samples."""
