# Tables: bodies to data frames, and what a service gave to bodies, as ../PROTOCOL.md describes both.

padded <- function(size) bitwAnd(size + 7L, -8L)

pad <- function(bytes) {
  rest <- length(bytes) %% 8L
  if (rest == 0L) bytes else c(bytes, raw(8L - rest))
}

# Reading tables

sizes <- c(number = 8L, integer = 8L, boolean = 1L, date = 4L, datetime = 8L, category = 4L)

# Returns a function that turns a body into a data frame of these columns.
table_reader <- function(columns) {
  names <- vapply(columns, `[[`, "", "name")
  plain <- all(vapply(columns, function(column) column$type == "number" && !column$nullable, NA))
  count <- length(columns)
  function(header, body) {
    rows <- header$rows
    values <- if (!plain) {
      read_columns(columns, body, rows)
    } else {
      # Columns of numbers lie next to each other.
      numbers <- readBin(body, "double", rows * count, endian = "little")
      lapply(seq_len(count) - 1L, function(before) numbers[before * rows + seq_len(rows)])
    }
    # What `data.frame` would make of it, without its checks.
    attributes(values) <- list(names = names, class = "data.frame", row.names = .set_row_names(rows))
    values
  }
}

read_columns <- function(columns, body, rows) {
  offset <- 0L
  take <- function(size) {
    from <- offset
    offset <<- offset + padded(size)
    body[seq.int(from + 1L, length.out = size)]
  }
  lapply(columns, function(column) {
    missing <- if (column$nullable) take(rows) == 0L
    if (column$type == "string") {
      lengths <- readBin(take(4L * rows), "integer", rows, endian = "little")
      values <- read_texts(column, take(sum(lengths)), lengths)
    } else {
      values <- read_values(column, take(sizes[[column$type]] * rows), rows)
    }
    if (column$nullable && any(missing)) is.na(values) <- missing
    values
  })
}

read_texts <- function(column, bytes, lengths) {
  if (any(bytes == 0L)) refuse("column `%s` has a text with a NUL character, which R cannot hold", column$name)
  texts <- readChar(bytes, lengths, useBytes = TRUE)
  Encoding(texts) <- "UTF-8"
  texts
}

read_values <- function(column, bytes, rows) {
  switch(column$type,
    number = readBin(bytes, "double", rows, endian = "little"),
    integer = {
      values <- read_int64(bytes, rows)
      if (any(abs(values) > 2^53)) refuse("column `%s` has a number beyond 2^53, which R cannot hold", column$name)
      if (all(abs(values) <= .Machine$integer.max)) as.integer(values) else values
    },
    boolean = bytes != 0L,
    date = .Date(as.double(read_int32(bytes, rows))),
    datetime = .POSIXct(read_int64(bytes, rows) / 1e6, tz = "UTC"),
    category = structure(read_int32(bytes, rows) + 1L, levels = column$levels, class = "factor")
  )
}

read_int32 <- function(bytes, count) readBin(bytes, "integer", count, endian = "little")

# Reads 64-bit integers as doubles: R has none of its own.
read_int64 <- function(bytes, count) {
  halves <- matrix(readBin(bytes, "integer", 2L * count, endian = "little"), nrow = 2L)
  # -2^31 is R's NA.
  low <- as.double(halves[1L, ])
  low[is.na(low)] <- -2^31
  high <- as.double(halves[2L, ])
  high[is.na(high)] <- -2^31
  low + ifelse(low < 0, 2^32, 0) + high * 2^32
}

# Writing tables

# Returns a function that turns what a service gave into a header and a body: a data frame of any kind, a named list of
# columns or scalars, a list of such rows, a matrix with a column for each, or a vector for a single column.
table_writer <- function(columns) {
  names <- vapply(columns, `[[`, "", "name")
  writers <- lapply(columns, column_writer)
  function(result, rows) {
    values <- columns_of(result, names)
    lengths <- lengths(values)
    is_scalar <- lengths == 1L & rows != 1L
    if (!is.data.frame(result) && any(is_scalar)) {
      rows <- if (all(is_scalar)) rows else lengths[!is_scalar][1L]
      values[is_scalar] <- lapply(values[is_scalar], rep, rows)
    } else if (length(lengths) > 0L) {
      rows <- lengths[[1L]]
    }
    wrong <- which(lengths(values) != rows)
    if (length(wrong) > 0L) {
      output_error("column `%s` has %d rows, the first one has %d", names[wrong[1L]], length(values[[wrong[1L]]]), rows)
    }
    body <- unlist(.mapply(function(write, column) write(column), list(writers, values), NULL), use.names = FALSE)
    list(sprintf('{"type":"result","rows":%d}', rows), body)
  }
}

# Returns the columns of a result as a list in the contract's order.
columns_of <- function(result, names) {
  if (is.matrix(result) && ncol(result) == length(names)) {
    if (!is.null(colnames(result))) check_names(colnames(result), names)
    order <- if (is.null(colnames(result))) seq_along(names) else names
    return(lapply(order, function(column) as.vector(result[, column])))
  }
  if (is.list(result) && is.null(attr(result, "names")) && length(result) > 0L && all(vapply(result, is.list, NA))) {
    for (row in result) check_names(names(row), names)
    return(lapply(names, function(name) from_list(lapply(result, `[[`, name))))
  }
  if (is.list(result) && !is.object(result) || is.data.frame(result)) {
    check_names(attr(result, "names"), names)
    return(unclass(result)[names])
  }
  if (length(names) == 1L && is.atomic(result) && !is.null(result)) return(list(result))
  output_error("a table with the columns %s was expected, not `%s`", quoted(names), class(result)[1L])
}

check_names <- function(given, names) {
  if (length(given) != length(names) || !all(names %in% given)) {
    output_error("the columns must be %s, not %s", quoted(names), if (length(given)) quoted(given) else "without names")
  }
}

# Makes a column of a list with one value for each row; NULL is a missing one.
from_list <- function(values) {
  absent <- lengths(values) == 0L
  if (any(lengths(values)[!absent] != 1L)) output_error("a row has a cell that is not one value")
  # A missing value of the others' class: the first one decides what the column is.
  if (any(absent)) values[absent] <- list(if (all(absent)) NA else values[!absent][[1L]][NA_integer_])
  do.call(c, values)
}

# Returns a function that turns a column's values into bytes.
column_writer <- function(column) {
  convert <- converters[[column$type]]
  encode <- encoders[[column$type]]
  function(values) {
    if (is.list(values) && !is.object(values)) values <- from_list(values)
    if (column$nullable && is.logical(values) && all(is.na(values))) values <- rep(empty[[column$type]], length(values))
    converted <- convert(values, column)
    if (is.null(converted)) {
      output_error("column `%s` must be of type %s, not `%s`", column$name, column$type, class(values)[1L])
    }
    missing <- is.na(converted)
    if (!column$nullable) {
      if (any(missing)) output_error("column `%s` has a missing value in row %d", column$name, which(missing)[1L])
      return(pad(encode(converted)))
    }
    converted[missing] <- zero[[column$type]]
    c(pad(as.raw(!missing)), pad(encode(converted)))
  }
}

# What stands for a missing value before and after conversion.
empty <- list(
  number = NA_real_, integer = NA_integer_, boolean = NA, date = .Date(NA_real_), datetime = .POSIXct(NA_real_),
  category = NA_character_, string = NA_character_
)
zero <- list(number = NaN, integer = 0L, boolean = FALSE, date = 0, datetime = 0, category = 0L, string = "")

# Each gives a plain vector in which NA is a missing value, or NULL for a value that has the wrong type.
converters <- list(
  number = function(values, column) if (is.numeric(values) || is.logical(values)) as.double(values),
  integer = function(values, column) {
    if (is.integer(values) && !is.object(values)) return(values)
    if (!is.numeric(values)) return(NULL)
    whole <- is.na(values) | (values == floor(values) & abs(values) <= 2^53)
    if (!all(whole)) output_error("column `%s` has %s, which is not whole", column$name, format(values[!whole][1L]))
    as.double(values)
  },
  boolean = function(values, column) if (is.logical(values)) as.vector(values),
  date = function(values, column) {
    if (inherits(values, c("Date", "POSIXt")) || is.character(values)) {
      floor(as.double(parse_times(as.Date, values, column)))
    }
  },
  datetime = function(values, column) {
    if (inherits(values, "Date")) return(as.double(values) * 86400e6)
    if (inherits(values, "POSIXt")) return(round(as.double(as.POSIXct(values)) * 1e6))
    if (is.character(values)) round(as.double(parse_times(iso_time, values, column)) * 1e6)
  },
  category = function(values, column) {
    if (!is.factor(values) && !is.character(values)) return(NULL)
    texts <- as.character(values)
    codes <- match(texts, column$levels) - 1L
    unknown <- is.na(codes) & !is.na(texts)
    if (any(unknown)) output_error("column `%s` has `%s`, which is none of its levels", column$name, texts[unknown][1L])
    codes
  },
  string = function(values, column) {
    if (!is.character(values) && !is.factor(values)) return(NULL)
    texts <- enc2utf8(as.character(values))
    if (!all(validUTF8(texts))) output_error("column `%s` has a text that is not UTF-8", column$name)
    texts
  }
)

parse_times <- function(parse, values, column) {
  parsed <- tryCatch(parse(values), error = function(error) NULL)
  if (is.null(parsed) || any(is.na(parsed) & !is.na(values))) {
    output_error("column `%s` has a text that is no %s", column$name, column$type)
  }
  parsed
}

iso_time <- function(values) as.POSIXct(sub("T", " ", sub("Z$", "", values)), tz = "UTC", format = "%Y-%m-%d %H:%M:%OS")

encode_int32 <- function(values) writeBin(as.integer(values), raw(), endian = "little")

encode_int64 <- function(values) {
  if (is.integer(values)) return(writeBin(values, raw(), size = 8L, endian = "little"))
  low <- values %% 2^32
  halves <- rbind(ifelse(low >= 2^31, low - 2^32, low), values %/% 2^32)
  # -2^31 becomes NA, which has the same bits.
  suppressWarnings(encode_int32(halves))
}

encoders <- list(
  number = function(values) writeBin(values, raw(), endian = "little"),
  integer = encode_int64,
  boolean = as.raw,
  date = encode_int32,
  datetime = function(values) encode_int64(as.double(values)),
  category = encode_int32,
  string = function(values) c(pad(encode_int32(nchar(values, "bytes"))), charToRaw(paste(values, collapse = "")))
)
