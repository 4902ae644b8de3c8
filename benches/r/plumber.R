source("service.R")

model <- load(list(artifact = function(name) "glm.rds"))

#* @post /score
#* @serializer unboxedJSON
function(req) list(rows = data.frame(score(model, as.data.frame(req$body$rows))))
