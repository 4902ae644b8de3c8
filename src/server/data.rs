//! Validated values on their way between HTTP and a worker, kept in the worker protocol's little-endian layout so that
//! merging, splitting and sending them is copying bytes. It knows neither JSON nor pipes.

use bytes::Bytes;

use crate::service::{ColumnType, Dtype};

/// What one call takes or gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Rows of typed columns, in the order of the contract.
    Table(Table),
    /// A numeric array, row-major.
    Tensor(Tensor),
    /// A JSON value, a text or a file, as it came.
    Bytes(Bytes),
}

/// Columns of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The number of rows.
    pub rows: usize,
    /// The columns, in the order of the contract.
    pub columns: Vec<Column>,
}

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The type of the values.
    pub kind: ColumnType,
    /// `width(kind)` bytes for each row; for text the length of each in bytes.
    pub values: Vec<u8>,
    /// The text of all rows, one after the other; empty for all other types.
    pub text: Vec<u8>,
    /// One byte for each row, 0 where the value is missing; `None` where none may be.
    pub valid: Option<Vec<u8>>,
}

/// A numeric array.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The type of the elements.
    pub dtype: Dtype,
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The elements, row-major, little-endian.
    pub data: Vec<u8>,
}

/// Returns how many bytes a row of `kind` takes in [`Column::values`].
pub fn width(kind: ColumnType) -> usize {
    match kind {
        ColumnType::Boolean => 1,
        ColumnType::String | ColumnType::Date | ColumnType::Category => 4,
        ColumnType::Integer | ColumnType::Number | ColumnType::Datetime => 8,
    }
}

/// Returns how many bytes an element of `dtype` takes.
pub fn size(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Bool | Dtype::Int8 | Dtype::Uint8 => 1,
        Dtype::Int16 | Dtype::Uint16 => 2,
        Dtype::Int32 | Dtype::Uint32 | Dtype::Float32 => 4,
        Dtype::Int64 | Dtype::Uint64 | Dtype::Float64 => 8,
    }
}

impl Payload {
    /// Returns the number of rows; one for what has no rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Table(table) => table.rows,
            Self::Tensor(tensor) => tensor.shape.first().copied().unwrap_or(1),
            Self::Bytes(_) => 1,
        }
    }

    /// Returns the number of bytes, without the protocol's padding.
    pub fn size(&self) -> usize {
        match self {
            Self::Table(table) => table.columns.iter().map(|column| column.values.len() + column.text.len()).sum(),
            Self::Tensor(tensor) => tensor.data.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Returns whether `other` can be appended to this by row.
    pub fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(_), Self::Table(_)) => true,
            (Self::Tensor(one), Self::Tensor(two)) => !one.shape.is_empty() && one.shape[1..] == two.shape[1..],
            _ => false,
        }
    }

    /// Returns this, which has one row, as many times below itself; what has no rows comes back as it is.
    pub fn repeat(&self, rows: usize) -> Self {
        match self {
            Self::Table(table) => {
                Self::Table(Table { rows, columns: table.columns.iter().map(|column| column.repeat(rows)).collect() })
            }
            Self::Tensor(tensor) => {
                let shape = std::iter::once(rows).chain(tensor.shape.iter().skip(1).copied()).collect();
                Self::Tensor(Tensor { dtype: tensor.dtype, shape, data: tensor.data.repeat(rows) })
            }
            Self::Bytes(bytes) => Self::Bytes(bytes.clone()),
        }
    }

    /// Splits into parts of `counts` rows, which must add up to the whole.
    pub fn split(self, counts: &[usize]) -> Vec<Self> {
        match self {
            whole if counts.len() == 1 => vec![whole],
            Self::Table(table) => table.split(counts).into_iter().map(Self::Table).collect(),
            Self::Tensor(tensor) => tensor.split(counts).into_iter().map(Self::Tensor).collect(),
            Self::Bytes(bytes) => vec![Self::Bytes(bytes)],
        }
    }
}

impl Table {
    fn split(self, counts: &[usize]) -> Vec<Self> {
        let mut parts: Vec<Self> = counts.iter().map(|&rows| Self { rows, columns: Vec::new() }).collect();
        for column in self.columns {
            let mut row = 0;
            let mut text = 0;
            for part in &mut parts {
                let piece = column.slice(row, part.rows, text);
                row += part.rows;
                text += piece.text.len();
                part.columns.push(piece);
            }
        }
        parts
    }
}

impl Column {
    /// Returns an empty column.
    pub fn new(kind: ColumnType, nullable: bool) -> Self {
        Self { kind, values: Vec::new(), text: Vec::new(), valid: nullable.then(Vec::new) }
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / width(self.kind)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends a value of fixed width.
    pub fn push(&mut self, value: &[u8]) {
        self.values.extend_from_slice(value);
        self.mark(1);
    }

    /// Appends a text; the caller has made sure that it is shorter than 4 GiB.
    pub fn push_text(&mut self, text: &str) {
        self.values.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.text.extend_from_slice(text.as_bytes());
        self.mark(1);
    }

    /// Appends a missing value.
    pub fn push_null(&mut self) {
        let missing = if self.kind == ColumnType::Number { f64::NAN.to_le_bytes() } else { [0; 8] };
        self.values.extend_from_slice(&missing[..width(self.kind)]);
        self.mark(0);
    }

    /// Appends all rows of `other`, which has the same type.
    pub fn append(&mut self, other: &Self) {
        self.values.extend_from_slice(&other.values);
        self.text.extend_from_slice(&other.text);
        if let (Some(valid), Some(more)) = (&mut self.valid, &other.valid) {
            valid.extend_from_slice(more);
        }
    }

    /// Returns whether the row has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid[row] != 0)
    }

    /// Returns the bytes of a row in [`Column::values`].
    pub fn bytes<const N: usize>(&self, row: usize) -> [u8; N] {
        self.values[row * N..(row + 1) * N].try_into().expect("the slice has N bytes")
    }

    fn mark(&mut self, valid: u8) {
        if let Some(marks) = &mut self.valid {
            marks.push(valid);
        }
    }

    fn repeat(&self, times: usize) -> Self {
        Self {
            kind: self.kind,
            values: self.values.repeat(times),
            text: self.text.repeat(times),
            valid: self.valid.as_ref().map(|valid| valid.repeat(times)),
        }
    }

    fn slice(&self, row: usize, rows: usize, text: usize) -> Self {
        let width = width(self.kind);
        let text_len = match self.kind {
            ColumnType::String => (row..row + rows).map(|row| u32::from_le_bytes(self.bytes(row)) as usize).sum(),
            _ => 0,
        };
        Self {
            kind: self.kind,
            values: self.values[row * width..(row + rows) * width].to_vec(),
            text: self.text[text..text + text_len].to_vec(),
            valid: self.valid.as_ref().map(|valid| valid[row..row + rows].to_vec()),
        }
    }
}

impl Tensor {
    /// Returns whether JSON has a form for every element: it has none for NaN and infinities.
    pub fn is_finite(&self) -> bool {
        match self.dtype {
            Dtype::Float32 => self.data.as_chunks().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite()),
            Dtype::Float64 => self.data.as_chunks().0.iter().all(|bytes| f64::from_le_bytes(*bytes).is_finite()),
            _ => true,
        }
    }

    fn split(self, counts: &[usize]) -> Vec<Self> {
        let row = self.shape[1..].iter().product::<usize>() * size(self.dtype);
        let mut rest = self.data.as_slice();
        let part = |&rows: &usize| {
            let (data, more) = rest.split_at(rows * row);
            rest = more;
            let shape = std::iter::once(rows).chain(self.shape[1..].iter().copied()).collect();
            Self { dtype: self.dtype, shape, data: data.to_vec() }
        };
        counts.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_splits_by_row_with_its_text_and_missing_values() {
        let mut column = Column::new(ColumnType::String, true);
        column.push_text("ąb");
        column.push_null();
        column.push_text("c");
        let table = Payload::Table(Table { rows: 3, columns: vec![column] });
        let [one, two] = table.split(&[2, 1]).try_into().unwrap();
        let (Payload::Table(one), Payload::Table(two)) = (one, two) else { panic!("tables stay tables") };
        assert_eq!(one.columns[0].text, "ąb".as_bytes());
        assert_eq!(one.columns[0].valid, Some(vec![1, 0]));
        assert_eq!(two.columns[0].text, b"c");
        assert_eq!(two.columns[0].len(), 1);
    }

    #[test]
    fn a_tensor_splits_along_its_first_dimension() {
        let tensor = Tensor { dtype: Dtype::Uint8, shape: vec![3, 2], data: vec![1, 2, 3, 4, 5, 6] };
        let parts = Payload::Tensor(tensor).split(&[1, 2]);
        assert_eq!(
            parts[1],
            Payload::Tensor(Tensor { dtype: Dtype::Uint8, shape: vec![2, 2], data: vec![3, 4, 5, 6] })
        );
    }

    #[test]
    fn tensors_fit_when_all_but_the_first_dimension_agree() {
        let tensor =
            |shape: &[usize]| Payload::Tensor(Tensor { dtype: Dtype::Uint8, shape: shape.to_vec(), data: vec![] });
        assert!(tensor(&[1, 2]).fits(&tensor(&[5, 2])));
        assert!(!tensor(&[1, 2]).fits(&tensor(&[1, 3])));
    }
}
