# The R worker: loads a service file and answers calls, as ../PROTOCOL.md describes. It needs base R and jsonlite.
#
# It stands in an environment of its own, so that the service's code finds the workspace empty.

local({
  folder <- dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L]))
  requests <- file("/dev/fd/3", "rb", raw = TRUE)
  replies <- file("/dev/fd/4", "wb", raw = TRUE)
  for (name in c("forking.R", "serving.R", "tables.R", "tensors.R")) {
    sys.source(file.path(folder, name), envir = environment())
  }
  invisible(main())
})
