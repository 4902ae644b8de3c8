# Models of glmnet, of mlr and of caret, with and without recipes; prophet, whose models are compiled C++ that Stan runs; and a
# map projection that needs the data of PROJ and GDAL.

# Their models call their functions without naming them.
suppressPackageStartupMessages({
  library(caret)
  library(mlr)
  library(prophet)
})

load <- function(bundle) {
  flowers <- setNames(iris[c("Petal.Length", "Petal.Width", "Species")], c("length", "width", "species"))
  inputs <- as.matrix(flowers[c("length", "width")])
  recipe <- recipes::step_normalize(recipes::recipe(species ~ ., flowers), recipes::all_predictors())
  plain <- caret::trainControl("none")
  list(
    caret = caret::train(species ~ ., flowers, "knn", trControl = plain),
    glmnet = glmnet::glmnet(inputs, flowers$species, "multinomial"),
    mlr = mlr::train(scaled(mlr::makeLearner("classif.rpart")), mlr::makeClassifTask(data = flowers, target = "species")),
    recipe = caret::train(recipe, flowers, method = "knn", trControl = plain)
  )
}

scaled <- function(learner) mlr::makePreprocWrapperCaret(learner, ppc.center = TRUE, ppc.scale = TRUE)

classify <- function(state, rows) {
  list(
    caret = as.character(predict(state$caret, rows)),
    glmnet = c(predict(state$glmnet, as.matrix(rows[c("length", "width")]), s = 0.01, type = "class")),
    mlr = as.character(mlr::getPredictionResponse(predict(state$mlr, newdata = rows))),
    recipe = as.character(predict(state$recipe, rows))
  )
}

# What was seen, and a trend with weeks that fits it.
forecast <- function(state, rows) {
  model <- prophet::prophet(rows, daily.seasonality = FALSE, yearly.seasonality = FALSE, uncertainty.samples = 100)
  found <- predict(model, rows["ds"])
  list(ds = as.Date(found$ds), value = found$yhat, lower = found$yhat_lower, upper = found$yhat_upper)
}

# LKS94, the grid of Lithuania: PROJ finds its definition in a database.
project <- function(state, rows) {
  places <- sf::st_as_sf(rows, coords = c("lon", "lat"), crs = 4326)
  grid <- sf::st_coordinates(sf::st_transform(places, 3346))
  raster <- terra::rast(xmin = 3e5, xmax = 7e5, ymin = 5.9e6, ymax = 6.3e6, resolution = 1e5, crs = "EPSG:3346")
  list(x = grid[, "X"], y = grid[, "Y"], cell = terra::cellFromXY(raster, grid))
}
