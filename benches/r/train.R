# Fits the model to made-up rows, and keeps of it what prediction needs.
set.seed(1)
rows <- as.data.frame(matrix(rnorm(16 * 20000), ncol = 16L, dimnames = list(NULL, paste0("x", 1:16))))
rows$y <- as.integer(rows$x1 + rows$x2 + rnorm(nrow(rows)) > 0)
model <- glm(y ~ ., binomial(), rows)
kept <- c("coefficients", "terms", "formula", "family", "rank", "xlevels", "contrasts", "qr")
model <- structure(unclass(model)[kept], class = class(model))
model$qr$qr <- NULL
saveRDS(model, "glm.rds")

for (repetition in 1:200) predict(model, rows[1L, ], type = "response")
time <- system.time(for (repetition in 1:2000) predict(model, rows[1L, ], type = "response"))
cat(sprintf("model alone: %.2f ms\n", time[["elapsed"]] / 2))
