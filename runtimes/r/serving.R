# Frames, errors and calls: all of the worker but the conversion of data.

known <- new.env(parent = emptyenv())
known$texts <- character()
known$headers <- list()
MAX_KNOWN <- 256L
MAX_KNOWN_BYTES <- 512L

# Conditions

# What the service gave does not fit its contract.
output_error <- function(...) stop(errorCondition(sprintf(...), class = "mlpack_output_error"))

# The input cannot be held by R.
refuse <- function(...) stop(errorCondition(sprintf(...), class = "input_error"))

quoted <- function(names) paste0("`", names, "`", collapse = ", ")

# Says what went wrong in one text, with the name of a package that is missing.
describe <- function(condition) {
  if (inherits(condition, "packageNotFoundError")) {
    return(sprintf("the R package `%s` is not in the image: name it in `runtime.packages`", condition$package))
  }
  call <- conditionCall(condition)
  where <- if (is.null(call)) "" else sprintf(" in `%s`", deparse(call, nlines = 1L)[1L])
  paste0(conditionMessage(condition), where)
}

# Writes an error to the log, with the service's calls that led to it.
log_error <- function(condition, calls) {
  cat("Error: ", describe(condition), "\n", sep = "", file = stderr())
  # The last calls are those of the condition system.
  calls <- utils::head(calls, -2L)
  enters <- function(call) identical(call[[1L]], quote(method)) || identical(call[[1L]], quote(sys.source))
  own <- Position(enters, calls, nomatch = 0L)
  for (call in rev(utils::tail(calls[seq_along(calls) > own], 50L))) {
    cat("  at ", deparse(call, nlines = 1L)[1L], "\n", sep = "", file = stderr())
  }
}

# Frames

# Reads `size` bytes; NULL at the end.
read_bytes <- function(size) {
  bytes <- readBin(requests, "raw", size)
  while (length(bytes) < size) {
    more <- readBin(requests, "raw", size - length(bytes))
    if (length(more) == 0L) return(NULL)
    bytes <- c(bytes, more)
  }
  bytes
}

# Returns the next frame as a list of `header` and `body`; NULL at the end.
read_frame <- function() {
  lengths <- read_bytes(8L)
  if (is.null(lengths)) return(NULL)
  lengths <- readBin(lengths, "integer", 2L, endian = "little")
  header <- read_bytes(lengths[1L])
  body <- read_bytes(lengths[2L])
  if (is.null(header) || is.null(body)) return(NULL)
  list(header = parse_header(rawToChar(header)), body = body)
}

# Parses a header. Those of calls are few and come again: reading JSON anew would take longer than all the rest. They are
# found by `match`, because a name in an environment is a symbol, which R never frees, and which may not be long.
parse_header <- function(text) {
  if (nchar(text, "bytes") > MAX_KNOWN_BYTES) return(read_json(text))
  place <- match(text, known$texts)
  if (!is.na(place)) return(known$headers[[place]])
  header <- read_json(text)
  if (length(known$texts) == MAX_KNOWN) {
    known$texts <- character()
    known$headers <- list()
  }
  known$texts <- c(known$texts, text)
  known$headers <- c(known$headers, list(header))
  header
}

read_json <- function(text) jsonlite::fromJSON(text, simplifyVector = FALSE)

# Writes a frame; `header` is JSON.
write_frame <- function(header, body = raw()) {
  header <- charToRaw(header)
  lengths <- writeBin(c(length(header), length(body)), raw(), endian = "little")
  writeBin(c(lengths, header, body), replies)
  flush(replies)
}

json_text <- function(value) {
  as.character(jsonlite::toJSON(value, auto_unbox = TRUE, digits = NA, null = "null"))
}

# Serving

with_levels <- function(column) {
  column$levels <- as.character(unlist(column$enum))
  column
}

reader <- function(data) {
  switch(data$type,
    table = table_reader(lapply(data$columns, with_levels)),
    tensor = tensor_reader(data$dtype),
    plain_readers[[data$type]]
  )
}

writer <- function(data) {
  switch(data$type,
    table = table_writer(lapply(data$columns, with_levels)),
    tensor = tensor_writer(data$dtype),
    plain_writers[[data$type]]
  )
}

# What the service is made of, as its function `load` gets it.
bundle_of <- function(message) {
  path_of <- function(kind, paths) {
    function(name) {
      if (is.null(paths[[name]])) stop(sprintf("there is no %s `%s`", kind, name), call. = FALSE)
      paths[[name]]
    }
  }
  list(
    name = message$name, version = message$version,
    artifact = path_of("artifact", message$artifacts), dataset = path_of("dataset", message$datasets)
  )
}

# Returns the endpoints by name: what reads a call, what answers it, what writes the result.
load_service <- function(message) {
  setwd(dirname(message$file))
  sys.source(message$file, envir = globalenv())
  method <- service_function("load")
  state <- method(bundle_of(message))
  endpoints <- lapply(names(message$endpoints), function(name) {
    data <- message$endpoints[[name]]
    names <- c(preprocess = data$preprocess, model = gsub("-", "_", name, fixed = TRUE), postprocess = data$postprocess)
    list(read = reader(data$input), stages = lapply(names, service_function), state = state, write = writer(data$output))
  })
  list2env(structure(endpoints, names = names(message$endpoints)), parent = emptyenv())
}

service_function <- function(name) {
  found <- globalenv()[[name]]
  if (!is.function(found)) stop(sprintf("the service file has no function `%s`", name), call. = FALSE)
  found
}

# Evaluates, and returns its value or what `failed` makes of an error. Errors that are not foreseen are logged while the
# calls that led to them still stand.
attempt <- function(expression, failed) {
  unforeseen <- function(error) {
    if (!inherits(error, c("input_error", "mlpack_output_error"))) log_error(error, sys.calls())
  }
  tryCatch(withCallingHandlers(expression, error = unforeseen), error = failed)
}

# Runs a call through the service's functions; returns the last one's value, and how long each took in microseconds.
run_stages <- function(stages, state, value) {
  times <- numeric(length(stages))
  for (stage in seq_along(stages)) {
    method <- stages[[stage]]
    start <- unclass(Sys.time())
    value <- method(state, value)
    times[stage] <- 1e6 * (unclass(Sys.time()) - start)
  }
  list(value = value, times = setNames(times, names(stages)))
}

# Adds the times to a result's header.
with_times <- function(header, times) {
  times <- paste(sprintf('"%s":%.0f', names(times), pmax(times, 0)), collapse = ",")
  sub("}$", sprintf(',"stages":{%s}}', times), header)
}

# Returns the header and body of the answer to a call.
answer <- function(endpoints, frame) {
  endpoint <- endpoints[[frame$header$endpoint]]
  attempt({
    input <- endpoint$read(frame$header, frame$body)
    rows <- frame$header$rows
    done <- run_stages(endpoint$stages, endpoint$state, input)
    reply <- endpoint$write(done$value, if (is.null(rows)) 1L else rows)
    if (length(endpoint$stages) > 1L) reply[[1L]] <- with_times(reply[[1L]], done$times)
    reply
  }, failed = function(error) list(json_text(refusal(error)), raw()))
}

refusal <- function(error) {
  kinds <- c(input_error = "input", mlpack_output_error = "output")
  kind <- c(kinds[intersect(class(error), names(kinds))], "model")[[1L]]
  message <- if (kind == "model") class(error)[1L] else conditionMessage(error)
  list(type = "error", kind = kind, message = enc2utf8(message))
}

main <- function() {
  # Warnings reach the log when they arise.
  options(warn = 1L)
  message <- read_frame()$header
  if (is.null(message)) return()
  endpoints <- attempt(load_service(message), failed = function(error) {
    write_frame(json_text(list(type = "failed", message = enc2utf8(describe(error)))))
    NULL
  })
  if (is.null(endpoints)) return()
  gc()
  write_frame('{"type":"ready"}')
  while (!is.null(frame <- read_frame())) {
    if (frame$header$type == "fork") {
      fork(frame$header)
    } else {
      reply <- answer(endpoints, frame)
      write_frame(reply[[1L]], reply[[2L]])
    }
  }
}
