"""From the header of a checkpoint of ours to a Subject, one file a system."""
