# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.files.atomic import check_folder as check_folder, check_is_file as check_is_file
from alohub_async.files.atomic import check_target as check_target, os_errors as os_errors, reading as reading
from alohub_async.files.atomic import remove_leftovers as remove_leftovers, replacing as replacing
from alohub_async.files.atomic import side_path as side_path, sync_folder as sync_folder
from alohub_async.files.delimited import to_cell as to_cell
from alohub_async.files.formats import check_ending as check_ending, read_queues as read_queues
from alohub_async.files.formats import read_records as read_records, write_queues as write_queues
from alohub_async.files.formats import write_records as write_records
from alohub_async.files.records import json_text as json_text, queue_record as queue_record
from alohub_async.files.records import record_from_dict as record_from_dict, record_to_dict as record_to_dict
