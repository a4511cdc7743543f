"""An evaluation as orchestration: what is asked, processes that answer, figures with intervals, tables and plots."""
