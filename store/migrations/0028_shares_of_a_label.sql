-- Which version of each skill a share shows: that of this label, and no skill without it; NULL: the latest of all.
ALTER TABLE shares ADD COLUMN serve_label text;
