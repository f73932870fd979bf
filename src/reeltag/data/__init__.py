"""Posts, hashtags and features at rest: importing, filtering, splitting, numbering."""
