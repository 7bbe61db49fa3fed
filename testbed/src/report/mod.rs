//! Tables beside the paper's figures, timelines.
