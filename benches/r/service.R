# A logistic regression of 16 columns, served by mlpack and, from plumber.R, by plumber.

load <- function(bundle) readRDS(bundle$artifact("model"))

score <- function(state, rows) list(p = predict(state, rows, type = "response"))
