"""What is asked and what is shown: scenarios, runs, reports and the command line."""
