# Serves the company-or-person classifier. Nothing here belongs to a serving framework.

source("features.R")

load <- function(bundle) {
  loadNamespace("ranger")
  list(
    model = readRDS(bundle$artifact("model")),
    lookup = read_lookup(bundle$dataset("first_names"), bundle$dataset("surnames"), bundle$dataset("legal_forms"))
  )
}

classify <- function(state, rows) {
  company <- company_probability(state$model, features(rows$name, state$lookup))
  list(label = ifelse(company >= 0.5, "B2B", "B2C"), probability = pmax(company, 1 - company))
}
