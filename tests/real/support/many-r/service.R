# Models of glmnet and of caret, with and without recipes, and a map projection that needs the data of PROJ and GDAL.

library(caret) # its models call its functions without naming it

load <- function(bundle) {
  flowers <- setNames(iris[c("Petal.Length", "Petal.Width", "Species")], c("length", "width", "species"))
  inputs <- as.matrix(flowers[c("length", "width")])
  recipe <- recipes::step_normalize(recipes::recipe(species ~ ., flowers), recipes::all_predictors())
  plain <- caret::trainControl("none")
  list(
    caret = caret::train(species ~ ., flowers, "knn", trControl = plain),
    glmnet = glmnet::glmnet(inputs, flowers$species, "multinomial"),
    recipe = caret::train(recipe, flowers, method = "knn", trControl = plain)
  )
}

classify <- function(state, rows) {
  list(
    caret = as.character(predict(state$caret, rows)),
    glmnet = c(predict(state$glmnet, as.matrix(rows[c("length", "width")]), s = 0.01, type = "class")),
    recipe = as.character(predict(state$recipe, rows))
  )
}

# LKS94, the grid of Lithuania: PROJ finds its definition in a database.
project <- function(state, rows) {
  places <- sf::st_as_sf(rows, coords = c("lon", "lat"), crs = 4326)
  grid <- sf::st_coordinates(sf::st_transform(places, 3346))
  raster <- terra::rast(xmin = 3e5, xmax = 7e5, ymin = 5.9e6, ymax = 6.3e6, resolution = 1e5, crs = "EPSG:3346")
  list(x = grid[, "X"], y = grid[, "Y"], cell = terra::cellFromXY(raster, grid))
}
