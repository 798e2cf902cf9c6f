"""From a model and its data to one self-contained HTML page."""

from .findings import ran_out as ran_out
from .focus import chosen_features as chosen_features
from .focus import feature_number as feature_number
from .focus import influence as influence
from .page import write_report as write_report
from .question import Question as Question
from .question import ask as ask
from .study import Study as Study
from .study import class_shares as class_shares
from .study import study as study
from .subject import Subject as Subject
from .subject import read as read
from .subject import whole_features as whole_features
from .table import Rows as Rows
from .table import match_rows as match_rows
from .table import read_table as read_table
