"""What the data plane costs, measured on what `isthmus demo` deploys."""
