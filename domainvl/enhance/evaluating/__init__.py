"""Whether an enhancer is better than bicubic resampling: measures, intervals, a report."""
