# Trains the small and the large classifier on the names of ../b2x-python, and writes down how good they are.
#
#     python ../b2x-python/train.py --export names.csv
#     Rscript train.R names.csv            # the small model (glm), as committed
#     Rscript train.R names.csv --large    # the random forest of 200 trees (ranger) as well

source("features.R")

FORMULA <- label ~ legal_form + I(legal_form_place == "last") + I(legal_form_place == "middle") + tokens + case +
  first_token + last_token + punctuation + first_name_frequency + surname_frequency + known_share + length + digits
SEED <- 20L

# Keeps of a fitted glm what prediction needs: not the rows that it was fitted to.
slim <- function(model) {
  kept <- c("coefficients", "terms", "formula", "family", "rank", "xlevels", "contrasts", "qr")
  model <- structure(unclass(model)[kept], class = class(model))
  model$qr <- structure(model$qr[c("rank", "pivot", "tol")], class = "qr")
  attr(model$terms, ".Environment") <- globalenv()
  attr(model$formula, ".Environment") <- globalenv()
  model
}

train_small <- function(frame) slim(glm(FORMULA, binomial(), frame))

train_large <- function(frame) {
  ranger::ranger(
    dependent.variable.name = "label", data = frame, num.trees = 200L, min.node.size = 10L, probability = TRUE,
    seed = SEED
  )
}

# The area under the ROC curve, by ranks.
area <- function(scores, is_company) {
  ranks <- rank(scores)
  positives <- as.double(sum(is_company))
  (sum(ranks[is_company]) - positives * (positives + 1) / 2) / (positives * sum(!is_company))
}

measure <- function(scores, labels) {
  predicted <- scores >= 0.5
  actual <- labels == "B2B"
  hits <- sum(predicted & actual)
  list(
    accuracy = round(mean(predicted == actual), 4),
    confusion_b2b_b2c = list(c(hits, sum(!predicted & actual)), c(sum(predicted & !actual), sum(!predicted & !actual))),
    f1_b2b = round(2 * hits / (sum(predicted) + sum(actual)), 4),
    roc_auc = round(area(scores, actual), 4)
  )
}

main <- function(arguments) {
  names <- read_table(arguments[1L])
  lookup <- read_lookup("data/first_names.csv", "data/surnames.csv", "data/legal_forms.csv")
  frame <- cbind(features(names$name, lookup), label = factor(names$label == "B2B", labels = c("B2C", "B2B")))
  train <- names$part == "train"
  trainers <- list(small = train_small, large = if ("--large" %in% arguments) train_large)
  report <- if (file.exists("models/metrics.json")) jsonlite::read_json("models/metrics.json") else list()
  for (size in names(Filter(Negate(is.null), trainers))) {
    model <- trainers[[size]](frame[train, ])
    saveRDS(model, sprintf("models/%s.rds", size), version = 3L)
    scores <- company_probability(model, frame[!train, ])
    report[[size]] <- c(model = class(model)[1L], measure(scores, names$label[!train]))
  }
  report$rows <- list(all = nrow(names), train = sum(train), held_out = sum(!train))
  report <- report[order(names(report))]
  jsonlite::write_json(report, "models/metrics.json", auto_unbox = TRUE, digits = NA, pretty = TRUE)
}

main(commandArgs(trailingOnly = TRUE))
