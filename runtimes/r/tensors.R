# Tensors, JSON, text and bytes: bodies to values and back, as ../PROTOCOL.md describes them.

# Tensors: R's arrays are column-major, the protocol's are row-major.

tensor_reader <- function(dtype) {
  function(header, body) {
    shape <- as.integer(unlist(header$shape))
    values <- read_elements(dtype, body, prod(shape))
    switch(min(length(shape), 3L) + 1L,
      values, values,
      matrix(values, shape[1L], shape[2L], byrow = TRUE),
      aperm(array(values, rev(shape)))
    )
  }
}

read_elements <- function(dtype, body, count) {
  switch(dtype,
    bool = body[seq_len(count)] != 0L,
    int8 = readBin(body, "integer", count, size = 1L),
    uint8 = readBin(body, "integer", count, size = 1L, signed = FALSE),
    int16 = readBin(body, "integer", count, size = 2L, endian = "little"),
    uint16 = readBin(body, "integer", count, size = 2L, endian = "little", signed = FALSE),
    int32 = exact(read_int32(body, count), -2^31),
    uint32 = { values <- exact(read_int32(body, count), -2^31); values + ifelse(values < 0, 2^32, 0) },
    int64 = bounded(read_int64(body, count)),
    uint64 = { values <- read_int64(body, count); bounded(values + ifelse(values < 0, 2^64, 0)) },
    float32 = readBin(body, "double", count, size = 4L, endian = "little"),
    float64 = readBin(body, "double", count, endian = "little")
  )
}

# Puts the number back that R takes for NA.
exact <- function(values, number) {
  if (!anyNA(values)) return(values)
  values <- as.double(values)
  values[is.na(values)] <- number
  values
}

bounded <- function(values) {
  if (any(abs(values) > 2^53)) refuse("the tensor has a whole number beyond 2^53, which R cannot hold")
  values
}

tensor_writer <- function(dtype) {
  range <- ranges[[dtype]]
  function(result, rows) {
    if (is.data.frame(result)) result <- as.matrix(result)
    if (!is.numeric(result) && !is.logical(result)) {
      output_error("a tensor of %s was expected, not `%s`", dtype, class(result)[1L])
    }
    shape <- if (is.null(dim(result))) length(result) else dim(result)
    values <- if (length(shape) > 1L) as.vector(aperm(result)) else as.vector(result)
    check_elements(values, dtype, range)
    header <- sprintf('{"type":"result","shape":[%s]}', paste(shape, collapse = ","))
    list(header, encode_elements(dtype, values))
  }
}

ranges <- list(
  bool = c(0, 1),
  int8 = c(-2^7, 2^7 - 1), int16 = c(-2^15, 2^15 - 1), int32 = c(-2^31, 2^31 - 1), int64 = c(-2^53, 2^53),
  uint8 = c(0, 2^8 - 1), uint16 = c(0, 2^16 - 1), uint32 = c(0, 2^32 - 1), uint64 = c(0, 2^53)
)

check_elements <- function(values, dtype, range) {
  if (is.null(range)) return()
  fit <- !is.na(values) & values >= range[1L] & values <= range[2L] & values == floor(values)
  if (!all(fit)) output_error("the result has %s, which is no %s", format(values[!fit][1L]), dtype)
}

encode_elements <- function(dtype, values) {
  switch(dtype,
    bool = , int8 = , uint8 = as.raw(as.integer(values) %% 256L),
    int16 = , uint16 = writeBin(as.integer(values), raw(), size = 2L, endian = "little"),
    int32 = suppressWarnings(encode_int32(values)),
    uint32 = suppressWarnings(encode_int32(ifelse(values >= 2^31, values - 2^32, values))),
    int64 = , uint64 = encode_int64(as.double(values)),
    float32 = writeBin(as.double(values), raw(), size = 4L, endian = "little"),
    float64 = writeBin(as.double(values), raw(), endian = "little")
  )
}

# JSON, text and bytes

plain_readers <- list(
  json = function(header, body) jsonlite::fromJSON(utf8(body), simplifyVector = FALSE),
  text = function(header, body) utf8(body),
  binary = function(header, body) body
)

utf8 <- function(body) {
  if (any(body == 0L)) refuse("the text has a NUL character, which R cannot hold")
  text <- rawToChar(body)
  Encoding(text) <- "UTF-8"
  text
}

plain_writers <- list(
  json = function(result, rows) {
    text <- jsonlite::toJSON(
      result, auto_unbox = TRUE, digits = NA, null = "null", na = "null", POSIXt = "ISO8601", UTC = TRUE, force = TRUE
    )
    list('{"type":"result"}', charToRaw(enc2utf8(as.character(text))))
  },
  text = function(result, rows) {
    if (!is.character(result) || length(result) != 1L || is.na(result)) {
      output_error("one text was expected, not `%s` of length %d", class(result)[1L], length(result))
    }
    list('{"type":"result"}', charToRaw(enc2utf8(result)))
  },
  binary = function(result, rows) {
    if (!is.raw(result)) output_error("raw bytes were expected, not `%s`", class(result)[1L])
    list('{"type":"result"}', result)
  }
)

# Pictures stay the bytes that they are: R packages that read them are many.
plain_readers$image <- plain_readers$binary
plain_writers$image <- plain_writers$binary
