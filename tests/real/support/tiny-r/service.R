# Does all that a service can do wrong, as `faulty-python` does in Python, and knows all types.

load <- function(bundle) {
  list()
}

call <- function(state, value) {
  if (!is.null(value$echo)) return(value$echo)
  inner <- function(value) switch(value$do,
    allocate = double(1e12),
    # In C, which looks at no signal for half a minute.
    compute = matrix(1, 4000, 4000) %*% matrix(1, 4000, 4000),
    # As a wrong address in C.
    crash = tools::pskill(Sys.getpid(), 11L),
    devour = {
      kept <- list()
      repeat kept[[length(kept) + 1L]] <- numeric(2^21)
    },
    # As the kernel does where memory is short.
    die = tools::pskill(Sys.getpid(), tools::SIGKILL),
    fail = log("a"),
    hang = system("sleep 1000"),
    # What belongs to the server, where a library writes by mistake.
    intrude = {
      replies <- file("/dev/fd/4", "wb", raw = TRUE)
      writeBin(rep(as.raw(255), 64L), replies)
      close(replies)
      Sys.sleep(1000)
    },
    missing = library(notthere),
    print = {
      for (line in 1:1e5) cat(strrep("x", 99), "\n", sep = "")
      message("the last line")
      "printed"
    },
    quit = quit("no", 3),
    tell = {
      # Long enough for the other worker to be asked meanwhile.
      Sys.sleep(0.3)
      writeLines("there is a folder for it", tempfile())
      list(pid = Sys.getpid(), random = runif(1))
    },
    refuse = stop(errorCondition("too young", class = "input_error"))
  )
  inner(value)
}

echo <- function(state, rows) tibble::as_tibble(rows)

doubled <- function(state, rows) {
  if (any(rows$x < 0)) stop(errorCondition("too low", class = "input_error"))
  rows$x * 2
}

staged <- function(state, numbers) numbers + 1

as_text <- function(state, numbers) list(y = format(numbers))

tensor <- function(state, values) {
  stopifnot(is.array(values), dim(values)[2:3] == c(3L, 2L), values[1, 2, 1] == 3)
  values
}

wrong <- function(state, rows) {
  switch(rows$what[1L],
    rows = list(y = c(1, 2, 3)), columns = list(z = 1), missing = list(y = NA_real_), type = list(y = "a"), frame = "a"
  )
}

given <- function(state, rows) {
  switch(rows$form[1L],
    table = data.table::data.table(y = 1), tibble = tibble::tibble(y = 1), frame = data.frame(y = 1L), matrix = cbind(y = 1),
    vector = 1, logical = list(y = TRUE), rows = list(list(y = 1))
  )
}

bytes <- function(state, value) rev(value)
