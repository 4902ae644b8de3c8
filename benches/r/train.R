# Fits the model to made-up rows, and keeps of it what prediction needs.
set.seed(1)
rows <- as.data.frame(matrix(rnorm(16 * 20000), ncol = 16L, dimnames = list(NULL, paste0("x", 1:16))))
rows$y <- as.integer(rows$x1 + rows$x2 + rnorm(nrow(rows)) > 0)
model <- glm(y ~ ., binomial(), rows)
kept <- c("coefficients", "terms", "formula", "family", "rank", "xlevels", "contrasts", "qr")
model <- structure(unclass(model)[kept], class = class(model))
model$qr$qr <- NULL
saveRDS(model, "glm.rds")

row <- rows[1L, ]
times <- vapply(1:2200, function(repetition) {
  start <- unclass(Sys.time())
  predict(model, row, type = "response")
  unclass(Sys.time()) - start
}, 0)
# The first ones are R's compiler's.
cat(sprintf("model alone: p50 %.3f ms\n", 1e3 * median(times[-(1:200)])))
