//! The first sector of FAT32 and FAT16 (Microsoft's FAT specification of 2000, "Boot Sector and BPB Structure").

use super::le16;
use crate::card::inspect::partition::le32;

/// The size of the largest cluster, in bytes.
const MAX_CLUSTER: u64 = 256 << 10;

/// The numbers of clusters of a FAT16: with fewer it is FAT12, with more FAT32, whatever its name is.
const FAT16_CLUSTERS: std::ops::Range<u64> = 4085..65525;

/// The fields of a first sector. All sizes but that of a sector are in sectors.
#[derive(Debug)]
pub struct BootSector {
    /// The size of a sector, in bytes.
    sector: u64,
    cluster: u64,
    reserved: u64,
    /// The number of file allocation tables.
    tables: u64,
    table: u64,
    total: u64,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Fat16 { root_entries: u16 },
    Fat32 { root_cluster: u32 },
}

/// Where the parts of a file system are, in bytes from the start of the partition.
#[derive(Debug)]
pub struct Layout {
    /// The start of the first file allocation table.
    pub table: u64,
    /// The start of the first cluster.
    pub data: u64,
    /// The size of a cluster.
    pub cluster: u64,
    pub root: Root,
}

/// Where the root folder is.
#[derive(Clone, Copy, Debug)]
pub enum Root {
    /// FAT32: a chain of clusters that begins with `cluster`.
    Chain { cluster: u32 },
    /// FAT16: a region before the first cluster, in bytes.
    Region { start: u64, size: u32 },
}

impl BootSector {
    /// The fields of `head`; `None` where `head` is neither of FAT32 nor of FAT16.
    pub fn parse(head: &[u8; 512]) -> Option<Self> {
        let half = |at: usize| u64::from(le16(&head[at..]));
        let sector = half(11);
        let cluster = u64::from(head[13]);
        if !matches!(sector, 512 | 1024 | 2048 | 4096)
            || !cluster.is_power_of_two()
            || cluster * sector > MAX_CLUSTER
        {
            return None;
        }
        let total = if half(19) > 0 { half(19) } else { le32(&head[32..]).into() };
        // FAT32 has the size of a table elsewhere, and 0 in the field of FAT16.
        let (table, format) = match half(22) {
            0 if &head[82..87] == b"FAT32" => {
                (le32(&head[36..]).into(), Format::Fat32 { root_cluster: le32(&head[44..]) })
            }
            table if table > 0 && &head[54..59] == b"FAT16" => {
                (table, Format::Fat16 { root_entries: le16(&head[17..]) })
            }
            _ => return None,
        };
        let found =
            Self { sector, cluster, reserved: half(14), tables: head[16].into(), table, total, format };
        found.has_valid_cluster_count().then_some(found)
    }

    /// Whether the format can have this number of clusters.
    fn has_valid_cluster_count(&self) -> bool {
        let clusters = self.total.saturating_sub(self.first_data_sector()) / self.cluster;
        matches!(self.format, Format::Fat32 { .. }) || FAT16_CLUSTERS.contains(&clusters)
    }

    /// The first sector of the root folder of FAT16, and of the first cluster of FAT32.
    fn sector_behind_tables(&self) -> u64 {
        self.reserved + self.tables * self.table
    }

    /// The first sector of the first cluster.
    fn first_data_sector(&self) -> u64 {
        match self.format {
            Format::Fat32 { .. } => self.sector_behind_tables(),
            Format::Fat16 { root_entries } => {
                self.sector_behind_tables() + (u64::from(root_entries) * 32).div_ceil(self.sector)
            }
        }
    }

    /// The layout in a partition of `size` bytes; `None` where the fields contradict each other or the size.
    pub fn layout(&self, size: u64) -> Option<Layout> {
        let data = self.first_data_sector() * self.sector;
        if self.reserved == 0 || self.tables == 0 || data > size {
            return None;
        }
        let root = match self.format {
            Format::Fat32 { root_cluster } => Root::Chain { cluster: root_cluster },
            Format::Fat16 { root_entries } => Root::Region {
                start: self.sector_behind_tables() * self.sector,
                size: u32::from(root_entries) * 32,
            },
        };
        Some(Layout { table: self.reserved * self.sector, data, cluster: self.cluster * self.sector, root })
    }
}

impl Layout {
    /// Whether `number`, an entry of a file allocation table, is that of a cluster. The numbers 0 and 1 are no
    /// clusters; the highest ones mark a bad cluster or the end of a chain.
    pub fn is_cluster(&self, number: u32) -> bool {
        let first_mark = match self.root {
            Root::Chain { .. } => 0x0fff_fff7,
            Root::Region { .. } => 0xfff7,
        };
        (2..first_mark).contains(&number)
    }
}

impl Root {
    /// The first cluster of the file with this `entry` in a folder. FAT16 has only the lower half of the number.
    pub fn first_cluster(self, entry: &[u8]) -> u32 {
        let low = u32::from(le16(&entry[26..]));
        match self {
            Self::Chain { .. } => u32::from(le16(&entry[20..])) << 16 | low,
            Self::Region { .. } => low,
        }
    }
}
