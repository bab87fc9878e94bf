mod limits;
mod logs;
mod startup;
mod trust_boundaries;
